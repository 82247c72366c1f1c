"""Figures about the system itself: what Prometheus is shown, and what they say about growth."""
