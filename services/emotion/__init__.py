"""Pure arrays: features, heads, bundles."""
