"""Pretrained models: where their files are, and fetching them once into a cache folder.

Importing this package, or the table of the models, fetches nothing and does not import PyTorch.
"""

from sktagger.pretrained._cache import cache_dir, list_models
from sktagger.pretrained._fetching import fetch
from sktagger.pretrained._models import PretrainedModel, find_model

__all__ = ["PretrainedModel", "cache_dir", "fetch", "find_model", "list_models"]
