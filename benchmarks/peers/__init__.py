"""What a user might pick instead of this program, each as its own documentation shows it, around the course's loop."""
