"""Identity provider `keycloak`: OpenID Connect with a Keycloak realm."""
