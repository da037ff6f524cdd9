"""Why does the model err? Contrastive maps of its errors."""
