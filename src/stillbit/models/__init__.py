"""Float models: tiny ViTs and SReT. To import this room is to make timm know them by name."""

from stillbit.models import sret as sret
from stillbit.models import tiny_vit as tiny_vit
