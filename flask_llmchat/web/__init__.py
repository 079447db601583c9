"""The rooms with Flask in them: routes, views, state, servers, commands."""
