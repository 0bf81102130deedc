"""The engine plans a request, shares its forward passes, and stores every result as it grows."""
