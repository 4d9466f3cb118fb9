"""A look inside a model: what each layer, head and neuron does with a text."""
