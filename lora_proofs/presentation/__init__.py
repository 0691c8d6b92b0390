"""What a run found, shown: reports, pages, and figures beside the published ones."""
