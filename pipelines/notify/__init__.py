"""Notifications: the notices, the outbox that keeps them until they are sent, and the channels."""
