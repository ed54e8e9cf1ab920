"""Tools of the project itself, which no user needs."""
