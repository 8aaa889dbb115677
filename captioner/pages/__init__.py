"""What people look at: charts, pictures of attention, and the HTML pages made of them."""
