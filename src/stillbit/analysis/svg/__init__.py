"""Small vector pictures: axes with round ticks, and marks. They stand alone, print well, and know no record."""
