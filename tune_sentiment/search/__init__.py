"""Settings -> a study: the space, the sampler, ASHA, the slots, the confirmation."""
