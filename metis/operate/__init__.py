"""Operating a placement: drift of what runs, and better placements to propose."""
