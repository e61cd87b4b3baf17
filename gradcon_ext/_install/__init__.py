"""What this installation is: its compiled parts and how they are loaded, its build, and the devices it can use."""
