"""Files made to harm, and what reading them costs."""
