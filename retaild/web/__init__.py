"""The pages: recommendations, dynamic pricing, admin.

Rendered on the server from `views.PageData`; forms and links do everything without a script, one
small ES module makes them quicker. Nothing is loaded from outside and there is no build step.
"""
