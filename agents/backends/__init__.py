"""What generates: transformers, vLLM, an OpenAI-compatible server. Heavy imports live only here."""
