"""The model catalogue: facts about the models that providers serve.

It only advises: a model that it does not list is requested just the same, without a token limit.
"""

from ..core.model import Model
from .lookup import default_model, get_model, models_of

__all__ = ["Model", "default_model", "get_model", "models_of"]
