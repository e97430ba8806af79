"""The MCP server ``automagik-workflows``: Runplane's verbs as tools. It speaks to the HTTP API and to nothing else."""
