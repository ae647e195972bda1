"""What turns features and a labelled support set into predictions without gradient steps."""
