"""The catalogue of models: what is known of each. It advises and never refuses."""

from .lookup import default_model, get_model, models_of
from .model import Model

__all__ = ["Model", "default_model", "get_model", "models_of"]
