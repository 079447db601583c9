"""The catalogue of models: what is known of each. It advises and never refuses."""

from ..core.model import Model
from .lookup import default_model, get_model, models_of

__all__ = ["Model", "default_model", "get_model", "models_of"]
