"""When checks run by themselves: in the foreground, or by cron, systemd or GitHub."""
