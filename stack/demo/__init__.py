"""What `aforo demo` needs: a month of made-up usage, sending it, and counting what became of it. Keep out: printing."""
