"""Parameter-efficient finetuning (LoRA) of Hugging Face models."""
