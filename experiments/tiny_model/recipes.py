"""The recipes of the base models, by the version of their world."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from experiments.tiny_model.first_base import FIRST_BASE
from experiments.tiny_model.recipe import Recipe
from experiments.tiny_model.second_base import SECOND_BASE

World: TypeAlias = Literal[1, 2]
RECIPES: Mapping[World, Recipe] = {1: FIRST_BASE, 2: SECOND_BASE}
