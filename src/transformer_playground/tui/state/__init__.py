"""What the console knows and does, without a toolkit: testable without a screen."""
