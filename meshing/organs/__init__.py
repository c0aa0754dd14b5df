"""Organs, lesions and vessels by a click."""
