"""Nova's scheduler asks Beamdesk's: a filter and a weigher. See docs/nova.md."""
