"""The laptop: a local inbox that delivers nothing, and the page that shows what a flow would send."""
