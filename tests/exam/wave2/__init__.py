"""The second wave: kinds of faults and of designs drawn from reports and papers that the first wave does not hold."""
