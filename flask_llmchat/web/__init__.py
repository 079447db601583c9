"""Flask: routes, views, negotiation, the state of an app, servers, commands."""
