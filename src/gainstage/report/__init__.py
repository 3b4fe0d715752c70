"""Pictures of records: terminal text, JSON, charts, and the formats that machines read. Records in, text out."""
