"""The halves of both backends that need no framework: what is measured, its arithmetic, and what a plan must fit."""
