"""The control plane: takes orders, folds the log into a read model, and decides about runs that no host holds."""
