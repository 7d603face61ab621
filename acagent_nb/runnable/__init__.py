"""What makes notebooks runnable by a program: the demo, the kernel it runs them in, their pages."""
