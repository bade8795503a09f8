"""Property tests that stay quick on a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "scenario", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("scenario")
