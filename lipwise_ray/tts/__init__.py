"""Speech made of text: engines, and the speech that they give as files."""
