"""Commands on stored models and adapters: plan, export, compress, inspect."""
