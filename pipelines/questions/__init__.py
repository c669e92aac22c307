"""Answers from what is published: status, doctor, explain, prove, exports."""
