"""ASGI: the OpenAI routes, health, the admin routes, and the errors as callers see them."""
