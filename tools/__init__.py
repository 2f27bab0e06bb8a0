"""Tools for who develops the project: a copy to run, tables from metrics, the checks."""
