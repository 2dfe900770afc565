"""Reference trainings that produce real logs (needs the extra `torch`)."""
