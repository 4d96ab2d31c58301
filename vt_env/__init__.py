"""Long-video question answering as a Gymnasium environment whose actions are tool calls and answers."""
