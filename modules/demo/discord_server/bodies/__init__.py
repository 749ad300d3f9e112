"""Discord's request bodies as typed models: what a body may hold, and nothing else."""
