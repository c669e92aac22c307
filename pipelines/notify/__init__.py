"""Telling people what matters: which notices there are, the outbox that keeps them until they are sent, and the ways out."""
