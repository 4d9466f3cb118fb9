"""A prepared dataset as a person looks at it: that of a run or an experiment."""
