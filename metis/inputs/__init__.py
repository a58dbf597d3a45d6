"""What a user gives as files, and names in them: read exactly, within limits, or refused in one line."""
