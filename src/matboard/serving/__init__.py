"""Models of matboard behind the chat protocol of OpenAI's API, as vLLM extends it."""
