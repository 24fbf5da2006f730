#!/bin/sh
# Answers every text with itself. Run it by:
#   starling watch --types message.received --exec docs/bots/echo.sh
[ -n "$STARLING_TEXT" ] || exit 0
printf '%s' "$STARLING_TEXT" | starling --quiet send "$STARLING_FROM" --reply-to "$STARLING_MESSAGE" -
