"""Generation backends: transformers, vLLM, OpenAI-compatible servers. Imported lazily, as torch and vLLM are heavy."""
