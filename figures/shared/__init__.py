"""What figures share: instances, tasks, panels, and training runs that are kept on disk."""
